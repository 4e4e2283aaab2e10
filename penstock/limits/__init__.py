"""Quota of the fleet: token buckets in Redis that every call to a provider draws from first."""
