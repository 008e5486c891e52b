"""The types of `requests` that other packages pass on: requests to send, and responses."""

from requests import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict

__all__ = ["NO_FIELDS", "PreparedRequest", "Response"]

NO_FIELDS = CaseInsensitiveDict[str]()
