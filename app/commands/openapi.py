"""openapi: the document that describes the doors."""

import json

import click

from app.main import create_app
from app.settings import Settings


@click.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    described = create_app(Settings(secret_key=None)).openapi()
    click.echo(json.dumps(described, indent=2, ensure_ascii=False, sort_keys=True))
