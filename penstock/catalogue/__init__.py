"""Vendors as data rows: where each is, which wire format it speaks, which variable holds its key, and how it differs.

A provider of the configuration that names a `vendor` takes its row from here and may replace any part of it.
"""

from penstock.catalogue.table import VENDORS, bedrock_url, quirks_of
from penstock.catalogue.vendor import Quirks, Vendor, WireFormat

__all__ = ["VENDORS", "Quirks", "Vendor", "WireFormat", "bedrock_url", "quirks_of"]
