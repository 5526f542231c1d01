"""The inventory: imported here, stored in ClickHouse, published to the services that judge by it."""
