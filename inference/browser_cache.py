"""How pictures and columns of cells go to a browser: compressed, with a tag, and for how long."""

import gzip
import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers

FOR_EVER = "private, max-age=86400, immutable"
ASK_AGAIN = "private, no-cache"
GZIP_LEVEL = 4


def with_tag(request: HttpRequest, answer: HttpResponse, tag: str, caching: str) -> HttpResponseBase:
    """The answer with its tag or, where the browser has it already, word of that."""
    answer["ETag"] = f'"{tag}"'
    answer["Cache-Control"] = caching
    return get_conditional_response(request, etag=answer["ETag"], response=answer) or answer


def packed(request: HttpRequest, content: Any) -> HttpResponse:
    """JSON, compressed where the browser takes that: nothing of the request is in it to be guessed from the
    length."""
    data = json.dumps(content, separators=(",", ":")).encode()
    answer = HttpResponse(content_type="application/json")
    patch_vary_headers(answer, ["Accept-Encoding"])
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        data = gzip.compress(data, GZIP_LEVEL, mtime=0)
        answer["Content-Encoding"] = "gzip"
    answer.content = data
    return answer
