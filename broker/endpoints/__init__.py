"""The endpoints, one blueprint a family. Each family names its guard."""
