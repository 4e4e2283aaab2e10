"""POST /model/{model}/converse and /model/{model}/converse-stream: what is asked."""

import re
from base64 import b64decode
from binascii import Error
from typing import Any

import orjson

from simulator import fields, tokens
from simulator.bedrock_answers import is_sealed
from simulator.prompt_cache import bedrock_prefixes
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.vendor import Head

_IMAGES = {"png", "jpeg", "gif", "webp"}
_DOCUMENTS = {"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"}
_DOCUMENT_NAME = re.compile(r"[A-Za-z0-9()\[\]-]+( [A-Za-z0-9()\[\]-]+)*")
_TOOL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_MEDIA_TOKENS = 85
_MOST_STOP_STRINGS = 2500


def read(data: bytes, head: Head) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    return _Reading(fields.body_of(data), head.path["model"]).question(stream=False)


def read_stream(data: bytes, head: Head) -> Question:
    """As `read`, for an answer that is streamed."""
    return _Reading(fields.body_of(data), head.path["model"]).question(stream=True)


class _Reading:
    """One request being read."""

    def __init__(self, body: dict[str, Any], model: str) -> None:
        self._body = body
        self._model = model
        self._transcript = Transcript()
        self._document_names: set[str] = set()
        self._has_tool_blocks = False

    def question(self, *, stream: bool) -> Question:
        for block in fields.objects(self._body, "system"):
            if "cachePoint" not in block:
                self._transcript.add("system", _text(block.get("text"), "system"))
        after_tool = self._read_messages()
        limits = fields.mapping(self._body, "inferenceConfig") or {}
        fields.number(limits, "temperature", 0, 1)
        fields.number(limits, "topP", 0, 1)
        if self._body.get("toolConfig"):
            self._transcript.weigh(tokens.count(orjson.dumps(self._body["toolConfig"]).decode()))
        elif self._has_tool_blocks:
            raise RefusalError(
                400, "The toolConfig field must be defined when using toolUse and toolResult content blocks."
            )
        question = Question(
            model=self._model,
            fingerprint=self._transcript.fingerprint(self._model),
            input_tokens=self._transcript.input_tokens,
            body=self._body,
            last=self._transcript.last,
            after_tool=after_tool,
            max_tokens=fields.integer(limits, "maxTokens", 1),
            stop=fields.strings(limits, "stopSequences", _MOST_STOP_STRINGS),
            stream=stream,
            directives=self._transcript.directives(),
        )
        question.prefixes = bedrock_prefixes(self._body, self._model)
        _read_tools(question)
        _read_format(question)
        return question

    def _read_messages(self) -> bool:
        """Whether the conversation ends with a tool's result."""
        after_tool = False
        expected = "user"
        for index, message in enumerate(fields.objects(self._body, "messages", required=True)):
            where = f"messages.{index}"
            if message.get("role") != expected:
                raise RefusalError(400, f"A conversation must alternate between user and assistant roles: {where}.")
            blocks = fields.objects(message, "content", required=True)
            texts = [self._block(block, f"{where}.content.{at}") for at, block in enumerate(blocks)]
            if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
                raise RefusalError(400, f"A document needs a text block beside it: {where}.")
            self._transcript.add(expected, "".join(texts))
            said = [block for block in blocks if "cachePoint" not in block]
            after_tool = bool(said) and "toolResult" in said[-1]
            expected = "assistant" if expected == "user" else "user"
        return after_tool

    def _block(self, block: dict[str, Any], where: str) -> str:
        if len(block) != 1:
            raise fields.wrong(where, "a union with exactly one member")
        (kind, value) = next(iter(block.items()))
        if kind == "text":
            return _text(value, where)
        if not isinstance(value, dict):
            raise fields.wrong(where, "an object")
        match kind:
            case "toolUse":
                return self._tool_use(value, where)
            case "toolResult":
                return self._tool_result(value, where)
            case "image" | "document":
                self._media(kind, value, where)
            case "cachePoint":
                pass
            case "reasoningContent":
                if not is_sealed(value):
                    raise RefusalError(400, f"The model returned the following errors: {where}: Invalid `signature`")
            case _:
                raise fields.wrong(where, "a known content block")
        return ""

    def _tool_use(self, value: dict[str, Any], where: str) -> str:
        self._has_tool_blocks = True
        if not _TOOL_ID.fullmatch(fields.string(value, "toolUseId")) or not isinstance(value.get("input"), dict):
            raise fields.wrong(where, "a toolUse block with a toolUseId and an input object")
        return fields.string(value, "name") + orjson.dumps(value["input"]).decode()

    def _tool_result(self, value: dict[str, Any], where: str) -> str:
        self._has_tool_blocks = True
        if value.get("status", "success") not in {"success", "error"}:
            raise fields.wrong(f"{where}.status", "success or error")
        fields.string(value, "toolUseId")
        blocks = fields.objects(value, "content", required=True)
        return "".join(self._block(block, f"{where}.content.{at}") for at, block in enumerate(blocks))

    def _media(self, kind: str, value: dict[str, Any], where: str) -> None:
        self._transcript.weigh(_MEDIA_TOKENS)
        if value.get("format") not in (_IMAGES if kind == "image" else _DOCUMENTS):
            raise fields.wrong(f"{where}.format", "a known format")
        try:
            b64decode(fields.string(fields.mapping(value, "source") or {}, "bytes"), validate=True)
        except Error as error:
            raise fields.wrong(f"{where}.source.bytes", "base64") from error
        if kind == "document":
            name = fields.string(value, "name")
            if len(name) > 200 or not _DOCUMENT_NAME.fullmatch(name):
                raise fields.wrong(f"{where}.name", "letters, digits, single spaces, hyphens, parentheses, brackets")
            if name.lower() in self._document_names:
                raise RefusalError(400, "Messages can't contain duplicate document names.")
            self._document_names.add(name.lower())


def _text(text: Any, where: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise RefusalError(400, f"The text field in the ContentBlock object at {where} is blank.")
    return text


def _read_tools(question: Question) -> None:
    config = fields.mapping(question.body, "toolConfig")
    own = fields.mapping(question.body, "additionalModelRequestFields") or {}
    told = own.get("tool_choice")
    if config is None:
        if told is not None:
            raise RefusalError(400, "The model returned the following errors: tool_choice may only be given with tools")
        return
    for tool in fields.objects(config, "tools", required=True):
        if "cachePoint" in tool:
            continue
        spec = fields.mapping(tool, "toolSpec")
        schema = fields.mapping(spec or {}, "inputSchema")
        if spec is None or schema is None or not isinstance(schema.get("json"), dict):
            raise fields.wrong("toolConfig.tools", "toolSpecs with an inputSchema")
        question.tools[fields.string(spec, "name")] = schema["json"]
    choice = fields.mapping(config, "toolChoice")
    if isinstance(told, dict):
        if choice is not None and "type" in told:
            raise RefusalError(400, "The additional field tool_choice/type conflicts with toolConfig.toolChoice.")
        kind, name = told.get("type"), told.get("name")
    elif choice is not None:
        if len(choice) != 1:
            raise fields.wrong("toolConfig.toolChoice", "a union with exactly one member")
        kind, detail = next(iter(choice.items()))
        name = detail.get("name") if isinstance(detail, dict) else None
    else:
        return
    _force(question, kind, name)


def _force(question: Question, kind: Any, name: Any) -> None:
    if kind == "any":
        question.forced_tool = next(iter(question.tools))
    elif kind == "tool" and name in question.tools:
        question.forced_tool = name
    elif kind != "auto":
        raise fields.wrong("toolChoice", "auto, any, or one of the tools given")


def _read_format(question: Question) -> None:
    output = fields.mapping(question.body, "outputConfig") or {}
    form = fields.mapping(output, "textFormat")
    if form is None:
        return
    structure = fields.mapping(form, "structure") or {}
    definition = fields.mapping(structure, "jsonSchema") or {}
    if form.get("type") != "json_schema":
        raise fields.wrong("outputConfig.textFormat.type", "json_schema")
    # The schema is text, not an object.
    question.schema = fields.body_of(fields.string(definition, "schema").encode())
