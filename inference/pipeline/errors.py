"""Errors whose text is meant for the person who handed the image in."""


class PipelineError(Exception):
    """Something about the input was wrong; `text` says what, and what would have been right."""

    code = "pipeline_error"

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        if code is not None:
            self.code = code


class UnreadableImage(PipelineError):
    """The file is damaged, truncated, or not an image at all."""

    code = "unreadable_image"


class UnsupportedImage(PipelineError):
    """The file is an image, but of a type, size or pixel layout that is not accepted."""

    code = "unsupported_image"


class UnusableSmear(PipelineError):
    """The image opens, but no cell can be analysed in it."""

    code = "unusable_smear"


class NetworkUnavailable(PipelineError):
    """A network's weights are missing or do not match the sha256 of its card."""

    code = "network_unavailable"
