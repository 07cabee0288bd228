"""The pages people see: rendered here, from templates and messages in app/pages. No script, nothing from elsewhere."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_eval_context
from jinja2.nodes import EvalContext
from markupsafe import Markup, escape

from app.decision.catalogue import Catalogue, Purpose

_FOLDER = Path(__file__).resolve().parents[1] / "pages"
DEFAULT_LANGUAGE = "en"
_STYLE = (_FOLDER / "style.css").read_text("utf-8")
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_MESSAGES: dict[str, dict[str, Any]] = {
    file.stem: yaml.safe_load(file.read_text("utf-8")) for file in sorted((_FOLDER / "messages").glob("*.yaml"))
}
LANGUAGES = tuple(_MESSAGES)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Frame-Options": "DENY",
}


class Shown(NamedTuple):
    """A purpose, or all marketing, as a page shows it; `language` where the words are not in that of the page."""

    title: str
    description: str | None
    channel: str | None
    language: str | None = None


@pass_eval_context
def _filled(_context: EvalContext, text: str, **values: Any) -> Markup:
    """A message with its gaps filled, everything but markup escaped."""
    return Markup(escape(text)).format(**values)  # noqa: S704  the text is escaped right here


_templates = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_templates.filters["filled"] = _filled
_templates.globals["style"] = Markup(_STYLE)  # noqa: S704  a file of our own


def language_of(request: Request, linked: str | None = None) -> str:
    """The language of the page: asked for on the page, else that of the link, else what the browser prefers."""
    for wanted in (request.query_params.get("lang"), linked):
        if wanted in LANGUAGES:
            return wanted
    return _preferred(request.headers.get("accept-language", ""))


def _preferred(header: str) -> str:
    """The first language of Accept-Language, by weight, that there are messages for (RFC 9110, 12.5.4)."""
    ranked = []
    for n, part in enumerate(header.split(",")[:32]):
        name, _, parameter = part.strip().partition(";")
        ranked.append((-_weight(parameter), n, name.strip().lower().partition("-")[0]))
    return next((name for weight, _, name in sorted(ranked) if weight < 0 and name in LANGUAGES), DEFAULT_LANGUAGE)


def _weight(parameter: str) -> float:
    try:
        return float(parameter.strip().removeprefix("q=") or 1)
    except ValueError:
        return 0.0


def messages(language: str) -> dict[str, Any]:
    """The messages of a language."""
    return _MESSAGES[language]


def page(
    template: str,
    language: str,
    *,
    catalogue: Catalogue | None,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page as an answer. Without a catalogue it does not say whose it is."""
    controller = catalogue.controller if catalogue is not None else None
    content = _templates.get_template(template).render(
        language=language,
        say=_MESSAGES[language],
        controller=controller,
        contact=_contact(controller.contact) if controller is not None and controller.contact else None,
        other_languages=[(code, _MESSAGES[code]["language"]) for code in LANGUAGES if code != language],
        **values,
    )
    return HTMLResponse(content, status, HEADERS | {"Content-Language": language} | (headers or {}))


@cache
def _contact(contact: str) -> Markup:
    """How to reach the controller: a link where it is one."""
    shown = contact.removeprefix("mailto:").removeprefix("tel:")
    if urlsplit(contact).scheme in ("mailto", "https", "http", "tel"):
        return Markup('<a href="{}">{}</a>').format(contact, shown)
    return escape(contact)


# What is shown of the catalogue


def shown(catalogue: Catalogue, purpose: str, channel: str | None, language: str) -> Shown:
    """A purpose in a language, and on which of its channels if it has several."""
    words = catalogue.wording(purpose, language)
    has_several = len(catalogue.purposes[purpose].channels or ()) > 1
    named = messages(language)["channel"][channel] if channel and has_several else None
    return Shown(words.title or purpose, words.description, named, _other_language(catalogue, purpose, language))


def all_marketing(channel: str | None, language: str) -> Shown:
    """All marketing, on a channel or on all of them."""
    whole = scope("all_marketing", language)
    said = messages(language)
    on_channel = said["all_marketing_on"].format(channel=said["channel"][channel]) if channel else whole.title
    return whole._replace(title=on_channel)


def scope(name: str, language: str) -> Shown:
    """A scope, in full."""
    said = messages(language)
    return Shown(said[name], said[f"{name}_description"], None)


def services(catalogue: Catalogue, language: str) -> list[Shown]:
    """What goes on whatever is stopped: messages that belong to a contract, such as order updates."""
    return [
        shown(catalogue, key, None, language)
        for key, purpose in catalogue.purposes.items()
        if _is_service_mail(purpose)
    ]


def _is_service_mail(purpose: Purpose) -> bool:
    return (
        purpose.enabled
        and purpose.kind == "service"
        and bool(purpose.channels)
        and purpose.rests_on("contract", "legal_obligation")
    )


def _other_language(catalogue: Catalogue, purpose: str, language: str) -> str | None:
    """The language of words that are not translated (WCAG 2.2, 3.1.2), as far as the catalogue tells it."""
    own = list(catalogue.notice.language_versions) if catalogue.notice is not None else []
    translation = catalogue.translations.get(language)
    if len(own) != 1 or own[0] == language or (translation is not None and purpose in translation.purposes):
        return None
    return own[0]
