"""Where the points of a load come from: records that are encoded, or vectors that are ready."""
