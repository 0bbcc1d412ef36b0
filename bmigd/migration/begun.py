"""A migration whose first write failed: nobody knows whether the journal has it.

Rule: its guest stays claimed, and the migration shown, until the journal has it for sure and has it
ended. Let go at once, what is durable all the same would be taken up at the next start, as if the
guest were still as it was.
"""

from bmigd.journal import Record
from bmigd.migration.ledger import Ledger


async def surely_begun(record: Record, ledger: Ledger) -> Record:
    """The record as the journal has it, which has it from now on; LocalFault: not yet."""
    await ledger.probe()
    return await ledger.get(record.id) or await ledger.open(record)
