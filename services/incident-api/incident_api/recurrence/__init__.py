"""Problems: incidents whose like was there before, as ``/api/v3/problems`` shows them."""
