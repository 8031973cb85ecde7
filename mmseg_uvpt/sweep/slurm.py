def queue_of(jobs):
    return {}


class Options:
    pass
