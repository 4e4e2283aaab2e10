"""Pictures and documents as the data URLs in which OpenAI's formats carry them."""

import mimetypes

from penstock.completion import Document, Image
from penstock.errors import InvalidRequest


def as_data_url(part: Image | Document) -> str:
    """The base64 data of a part as a URL.

    Raises:
        InvalidRequest: it has no data, or its media type is not known.
    """
    if part.data is None or part.media_type is None:
        what = "An image" if isinstance(part, Image) else "A document"
        raise InvalidRequest(f"{what} needs a url, or base64 data and its media type.", param="messages")
    return f"data:{part.media_type};base64,{part.data}"


def filename(document: Document) -> str:
    """The document's name, or one that tells its media type: the formats refuse a file without a name."""
    if document.filename:
        return document.filename
    media_type = document.media_type or (document.url or "").removeprefix("data:").partition(";")[0]
    return f"document{mimetypes.guess_extension(media_type) or ''}"
