"""HTML pages that put results and their pictures together."""

from keras_deepfake.reports.html_page import save_html
from keras_deepfake.reports.result_sections import sections

__all__ = ["save_html", "sections"]
