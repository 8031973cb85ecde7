"""What a file can hold that runs code where it is unpickled."""


class RunsCode:
    def __reduce__(self):
        return print, ('this must never be printed',)
