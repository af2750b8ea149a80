"""HTML pages and tables that put results and their pictures together."""

from keras_deepfake.reports.html_page import save_html

__all__ = ["save_html"]
