"""The full-text index of the history

Workers fill it in batches (`shared/services/text_search.py`), so that this migration is quick however long the history
is. The triggers keep it right whichever version of the code deletes or redacts a line.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"

_SQLITE = (
    # The tokenizer splits at blanks only: the words are split and folded in Python. Without positions, which nothing
    # asks for, the index has half the size.
    """
    CREATE VIRTUAL TABLE message_search USING fts5 (terms, tokenize = 'ascii', detail = none, columnsize = 0)
    """,
    """
    CREATE TRIGGER messages_search_delete AFTER DELETE ON messages
    BEGIN DELETE FROM message_search WHERE rowid = OLD.id; END
    """,
    """
    CREATE TRIGGER messages_search_change AFTER UPDATE OF text ON messages
    BEGIN DELETE FROM message_search WHERE rowid = OLD.id; END
    """,
)
_POSTGRES = (
    "CREATE TABLE message_search (id bigint CONSTRAINT pk_message_search PRIMARY KEY, terms tsvector NOT NULL)",
    "CREATE INDEX ix_message_search_terms ON message_search USING gin (terms)",
    """
    CREATE FUNCTION forget_message_terms() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN DELETE FROM message_search WHERE id = OLD.id; RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER messages_search_delete AFTER DELETE ON messages
    FOR EACH ROW EXECUTE FUNCTION forget_message_terms()
    """,
    """
    CREATE TRIGGER messages_search_change AFTER UPDATE OF text ON messages
    FOR EACH ROW EXECUTE FUNCTION forget_message_terms()
    """,
)


def upgrade() -> None:
    for statement in _SQLITE if _is_sqlite() else _POSTGRES:
        op.execute(statement)


def downgrade() -> None:
    for trigger in ("messages_search_delete", "messages_search_change"):
        op.execute(f"DROP TRIGGER {trigger}" + ("" if _is_sqlite() else " ON messages"))
    if not _is_sqlite():
        op.execute("DROP FUNCTION forget_message_terms()")
    op.execute("DROP TABLE message_search")


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
