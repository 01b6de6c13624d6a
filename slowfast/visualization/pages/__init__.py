"""Pages: one HTML file each, with its styles, code, data and images inside.

A page opens from a disk without a network. ``render`` writes one from a template in ``templates/``
that extends ``base.html``; ``macros.html`` has tables, charts and galleries; ``images`` turns
frames into data URIs. Values are escaped: a file called ``<script>`` is text.

Example of a template::

    {% extends "base.html" %}
    {% import "macros.html" as ui %}
    {% block content %}
      {% call ui.section("Files") %}
        {{ ui.table(["file", ("length", "duration")], rows, "files") }}
      {% endcall %}
    {% endblock %}
"""

from slowfast.visualization.pages.images import Sprite, data_uri, jpeg_uri
from slowfast.visualization.pages.render import fragment, render

__all__ = ["Sprite", "data_uri", "fragment", "jpeg_uri", "render"]
