"""Generated from ``proto/propense/v1`` by ``make proto``; not a public interface."""
