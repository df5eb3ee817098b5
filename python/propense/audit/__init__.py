"""The fairness gate: who is chosen, by group, and whether that may be acted on."""

from __future__ import annotations

from propense.audit.audit import audit
from propense.audit.policy import AuditPolicy
from propense.audit.result import Audit

__all__ = ["Audit", "AuditPolicy", "audit"]
