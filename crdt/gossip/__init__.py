"""How replicas keep each other up to date: who is a member, what an exchange says, when a tombstone may go."""
from .gossip import Gossip

__all__ = ["Gossip"]
