"""What fills the cache: images → features → pack, and pack → head. The only room with torch."""
