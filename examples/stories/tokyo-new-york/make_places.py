"""Writes lookups/places.mmdb: where the documentation's address ranges (RFC 5737) are in this story.

    pip install mmdb-writer        # 0.2.7; and netaddr 1.3.0, which it needs
    python3 make_places.py
"""

from pathlib import Path
from unittest.mock import patch

from mmdb_writer import MMDBWriter, MmdbF64
from netaddr import IPSet

PLACES = {
    "192.0.2.0/24": ("Tokyo", "Japan", "JP", 35.6895, 139.6917),
    "203.0.113.0/24": ("Yokohama", "Japan", "JP", 35.4437, 139.6380),
    "198.51.100.0/24": ("New York", "United States", "US", 40.7128, -74.0060),
}

writer = MMDBWriter(
    ip_version=4,
    database_type="Places-City",
    languages=["en"],
    description="Places of the documentation's address ranges, made up",
)
for network, (city, country, code, latitude, longitude) in PLACES.items():
    writer.insert_network(
        IPSet([network]),
        {
            "city": {"names": {"en": city}},
            "country": {"iso_code": code, "names": {"en": country}},
            "location": {"latitude": MmdbF64(latitude), "longitude": MmdbF64(longitude)},
        },
    )
file = Path(__file__).parent / "lookups" / "places.mmdb"
file.parent.mkdir(exist_ok=True)
# The file holds the time at which it was made: always the same, so that the bytes are.
with patch("time.time", return_value=1_772_409_600):
    writer.to_db_file(str(file))
