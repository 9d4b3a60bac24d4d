"""The one error of this package."""


class WeightsError(ValueError):
    """Weights that cannot be read or do not fit; the message says which file, why, and what to do."""
