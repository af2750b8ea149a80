"""HTML pages that put results and their pictures together."""

from keras_deepfake.reports.html_page import save_html
from keras_deepfake.reports.photograph_inspection import inspect_photographs
from keras_deepfake.reports.result_sections import sections

__all__ = ["inspect_photographs", "save_html", "sections"]
