"""OpenAI's files and batches."""

from typing import Any

from api.openai.files import PURPOSES
from api.schema.chat import METADATA
from api.schema.shapes import (
    COUNT,
    FLAG,
    IDEMPOTENCY_KEY,
    INTEGER,
    NUMBER,
    PRIORITY,
    PRIORITY_HEADER,
    TEXT,
    TIME,
    URL,
    WINDOW,
    Operations,
    Schema,
    after,
    answer,
    body,
    given,
    in_path,
    kind,
    limit,
    many,
    maybe,
    operation,
    page,
    query,
    ref,
    said,
    stream,
    taken,
    whole,
    words,
)
from penstock.dialects import registry

_SECONDS = whole(3600, 2_592_000)
_UPLOAD: Schema = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {
        "purpose": words(*PURPOSES),
        "file": {"type": "string", "format": "binary"},
        "expires_after[anchor]": kind("created_at"),
        "expires_after[seconds]": _SECONDS,
    },
}
_TIMES = (
    "in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at",
    "cancelled_at",
)  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "File": given(
        {
            "id": TEXT,
            "object": kind("file"),
            "bytes": COUNT,
            "created_at": TIME,
            "expires_at": maybe(TIME),
            "filename": TEXT,
            "purpose": TEXT,
            "status": kind("processed"),
            "status_details": maybe(TEXT),
        }
    ),
    "UploadRequest": taken(
        {"filename": TEXT, "purpose": words(*PURPOSES), "bytes": whole(1, 2**53), "mime_type": TEXT},
        {"expires_after": taken({"anchor": kind("created_at"), "seconds": _SECONDS}, {})},
    ),
    "Upload": given(
        {
            "id": TEXT,
            "object": kind("upload"),
            "bytes": COUNT,
            "created_at": TIME,
            "expires_at": TIME,
            "filename": TEXT,
            "purpose": TEXT,
            "status": words("pending", "completed", "cancelled", "expired"),
            "file": maybe(ref("File")),
        }
    ),
    "BatchRequest": taken(
        {
            "input_file_id": TEXT,
            "endpoint": words(*registry.endpoints()),
            "completion_window": said(WINDOW, "24h; Penstock takes any number of hours up to two weeks."),
        },
        {
            "metadata": METADATA,
            "output_expires_after": taken({"anchor": kind("created_at"), "seconds": _SECONDS}, {}),
            "callback_url": said(URL, "Where its end is told. Not the vendor's."),
            "priority": PRIORITY,
        },
    ),
    "Batch": given(
        {
            "id": TEXT,
            "object": kind("batch"),
            "endpoint": TEXT,
            "model": maybe(TEXT),
            "errors": maybe(given({"object": kind("list"), "data": many(given({"code": TEXT, "message": TEXT}))})),
            "input_file_id": TEXT,
            "completion_window": TEXT,
            "status": words(
                "validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"
            ),
            "output_file_id": maybe(TEXT),
            "error_file_id": maybe(TEXT),
            "created_at": TIME,
            **{name: maybe(TIME) for name in _TIMES},
            "request_counts": given({"total": COUNT, "completed": COUNT, "failed": COUNT}),
            "metadata": maybe(METADATA),
            "usage": given(
                {
                    "input_tokens": COUNT,
                    "input_tokens_details": given({"cached_tokens": COUNT}),
                    "output_tokens": COUNT,
                    "output_tokens_details": given({"reasoning_tokens": COUNT}),
                    "total_tokens": COUNT,
                }
            ),
            "cost": said(maybe(NUMBER), "US dollars so far, null where a price is not known. Not the vendor's."),
            "callback_url": maybe(TEXT),
            "priority": INTEGER,
            "estimated_completion_at": said(maybe(TIME), "When it is expected to end, as things stand."),
            "warning": said(maybe(TEXT), "What to know of it, such as that it cannot meet its window."),
        }
    ),
}

_FILE = in_path("file_id", "The id of a file, `file-…`.")
_BATCH = in_path("batch_id", "The id of a batch, `batch_…`.")
_FORM: dict[str, Any] = {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD}}}
_OF_UPLOAD = in_path("upload_id", "The id of an upload, `upload_…`.")
_PART: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["data"],
                "properties": {"data": {"type": "string", "format": "binary"}},
            }
        }
    },
}
_UPLOAD_EXAMPLE = {"filename": "lines.jsonl", "purpose": "batch", "bytes": 700_000_000, "mime_type": "text/jsonl"}
_EXAMPLE = {"input_file_id": "file-…", "endpoint": "/v1/chat/completions", "completion_window": "24h"}

OPERATIONS: Operations = {
    ("POST", "/v1/files"): operation(answer(ref("File")), "409", parameters=(IDEMPOTENCY_KEY,), request=_FORM),
    ("GET", "/v1/files"): operation(
        answer(page(ref("File"))),
        "400",
        parameters=(
            limit(10_000, 10_000),
            query("order", words("desc", "asc"), "By the time of creation."),
            query("purpose", TEXT, "Only files of this purpose."),
            after("file"),
        ),
    ),
    ("GET", "/v1/files/{file_id}"): operation(answer(ref("File")), "404", parameters=(_FILE,)),
    ("GET", "/v1/files/{file_id}/content"): operation(
        stream("application/octet-stream", "The bytes."), "404", parameters=(_FILE,)
    ),
    ("DELETE", "/v1/files/{file_id}"): operation(
        answer(given({"id": TEXT, "object": kind("file"), "deleted": FLAG})), "404", parameters=(_FILE,)
    ),
    ("POST", "/v1/uploads"): operation(
        answer(ref("Upload")), "400", "413", request=body(ref("UploadRequest"), _UPLOAD_EXAMPLE)
    ),
    ("POST", "/v1/uploads/{upload_id}/parts"): operation(
        answer(given({"id": TEXT, "object": kind("upload.part"), "created_at": TIME, "upload_id": TEXT})),
        "400",
        "404",
        "413",
        parameters=(_OF_UPLOAD,),
        request=_PART,
    ),
    ("POST", "/v1/uploads/{upload_id}/complete"): operation(
        answer(ref("Upload")),
        "400",
        "404",
        parameters=(_OF_UPLOAD,),
        request=body(taken({"part_ids": many(TEXT)}, {"md5": TEXT}), {"part_ids": ["part_…"]}),
    ),
    ("POST", "/v1/uploads/{upload_id}/cancel"): operation(
        answer(ref("Upload")), "400", "404", parameters=(_OF_UPLOAD,)
    ),
    ("POST", "/v1/batches"): operation(
        answer(ref("Batch")),
        "404",
        "409",
        parameters=(IDEMPOTENCY_KEY, PRIORITY_HEADER),
        request=body(ref("BatchRequest"), _EXAMPLE),
    ),
    ("GET", "/v1/batches"): operation(answer(page(ref("Batch"))), "400", parameters=(limit(20, 100), after("batch"))),
    ("GET", "/v1/batches/{batch_id}"): operation(answer(ref("Batch")), "404", parameters=(_BATCH,)),
    ("POST", "/v1/batches/{batch_id}/cancel"): operation(answer(ref("Batch")), "400", "404", parameters=(_BATCH,)),
    ("GET", "/v1/batches/{batch_id}/costs"): operation(
        stream("application/x-ndjson", "What the calls of one line cost, a line each."), "404", parameters=(_BATCH,)
    ),
    ("GET", "/v1/batches/{batch_id}/results"): operation(
        stream("application/x-ndjson", "One finished line of the batch per line."),
        "400",
        "404",
        parameters=(
            _BATCH,
            query("after", whole(0, 2**31 - 1), "The number of the line after which to begin."),
            query("follow", words("false", "true"), "Stay until the batch has ended."),
        ),
    ),
}
