class BenchError(Exception):
    """A mistake in the input or the surroundings, told in one message that names the setting and the fix.

    `__main__` and the console script print its text alone and exit with 1; every other exception is a
    defect of this program.
    """
