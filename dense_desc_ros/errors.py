"""The exceptions of the package: each says what was wrong, what was expected and what to do."""


class DenseDescError(Exception):
    """Base of everything this package raises on purpose."""


class InvalidInputError(DenseDescError, ValueError):
    """An image, depth, camera, pixel or name that cannot be used as given."""


class MissingDepthError(DenseDescError):
    """There is no usable depth around a pixel."""


class WeightsError(DenseDescError):
    """A weights file that is missing, corrupt or of another network."""


class ReferenceStoreError(DenseDescError):
    """A reference that is unknown, corrupt, or was made by other weights."""


class DataError(DenseDescError):
    """A recording, a folder of images or a data set that cannot be read or written."""


class TrainingError(DenseDescError):
    """A training that cannot go on."""
