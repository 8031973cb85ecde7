"""From a model and a folder of photographs to a model that is at least as good: ``uvpt adapt``."""

BEST, PUBLISHED = 'best', 'uni-uvpt'  # methods
