"""Data: the examples that metrics are computed on, drawn or read from a user's files.

Each kind of data is one plug-in file; `source` finds data by name or path. Importing the package imports neither Pillow
nor torch.
"""

from nasctl.data._batches import batch, sentences
from nasctl.data._content_images import HasBytes, HasSpan, ImageContent, LabelledImages, fitted, pixel_range
from nasctl.data._protocols import (
    Data,
    DataFormat,
    DataPlugin,
    HasNotes,
    ImageData,
    Kind,
    KnowsMirrorImages,
    LabelledWords,
    Part,
    TokenData,
)
from nasctl.data._sources import check, default_source, is_path, source
from nasctl.data._stored_images import StoredImages
from nasctl.data._summary import ClassCount, DataSummary, ImageSizes, Summarized

__all__ = [
    "ClassCount",
    "Data",
    "DataFormat",
    "DataPlugin",
    "DataSummary",
    "HasBytes",
    "HasNotes",
    "HasSpan",
    "ImageContent",
    "ImageData",
    "ImageSizes",
    "Kind",
    "KnowsMirrorImages",
    "LabelledImages",
    "LabelledWords",
    "Part",
    "StoredImages",
    "Summarized",
    "TokenData",
    "batch",
    "check",
    "default_source",
    "fitted",
    "is_path",
    "pixel_range",
    "sentences",
    "source",
]
