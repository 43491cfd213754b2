"""Full-text search of agents, and an audit log that refuses changes."""

from alembic import op

revision = "0002"
down_revision = "0001"

_SQLITE = (
    # The text stays in `agent`; the triggers keep the index in step with it.
    "CREATE VIRTUAL TABLE agent_words USING fts5 (words, content='agent', content_rowid='id')",
    """CREATE TRIGGER agent_words_insert AFTER INSERT ON agent BEGIN
        INSERT INTO agent_words (rowid, words) VALUES (new.id, new.words);
    END""",
    """CREATE TRIGGER agent_words_delete AFTER DELETE ON agent BEGIN
        INSERT INTO agent_words (agent_words, rowid, words) VALUES ('delete', old.id, old.words);
    END""",
    """CREATE TRIGGER agent_words_update AFTER UPDATE OF id, words ON agent BEGIN
        INSERT INTO agent_words (agent_words, rowid, words) VALUES ('delete', old.id, old.words);
        INSERT INTO agent_words (rowid, words) VALUES (new.id, new.words);
    END""",
    """CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN
        SELECT RAISE(ABORT, 'the audit log is append-only');
    END""",
    """CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN
        SELECT RAISE(ABORT, 'the audit log is append-only');
    END""",
)
_POSTGRESQL = (
    "CREATE INDEX ix_agent_words ON agent USING gin (to_tsvector('simple', words))",
    """CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
    """CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
)


def upgrade() -> None:
    statements = _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL
    for statement in statements:
        op.execute(statement)
