"""Writing that is never half done, reading that says where, locks, and distrust of what comes from outside."""
