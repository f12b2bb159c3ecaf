"""Pages that open offline, with one look."""

from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """A page of a template, a file in this folder that extends page.html, as HTML.

    Args:
        template: its name, like "replay/report.html".
        values: what it shows; `title`, and `notes` about what is unusual, are every page's.
    """
    loader = jinja2.PackageLoader("dense_desc_ros", "evaluation")
    return jinja2.Environment(loader=loader, autoescape=True).get_template(template).render(values)
