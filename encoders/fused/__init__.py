"""Text and structured records fused by a learned gate."""
