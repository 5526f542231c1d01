"""The inventory: imported here, stored in ClickHouse, published in a bucket."""
