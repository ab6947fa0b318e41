"""What every report is made of: pages, charts, published figures."""
