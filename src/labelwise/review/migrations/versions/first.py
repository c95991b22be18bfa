"""The first schema: items, questions, findings, verdicts, and who gave them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Subqueries that give one value are looked up by index, row by row, whatever the database believes of the size of its
# tables; "NOT EXISTS" became a join that took minutes in PostgreSQL after many verdicts had come in at once.
_VIEW = """
CREATE VIEW current_verdict AS SELECT * FROM verdict AS v WHERE v.id = (
    SELECT max(n.id) FROM verdict AS n
    WHERE n.question_id = v.question_id AND n.reviewer = v.reviewer AND n.action NOT IN ('skip', 'undo')
    AND (SELECT u.id FROM verdict AS u WHERE u.undoes = n.id) IS NULL
)
"""


def upgrade() -> None:
    """Make all tables, the view, and the triggers that keep verdicts and events as they are."""
    op.create_table(
        "item",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("leased_by", sa.Text),
        sa.Column("leased_until", sa.Double),
    )
    op.create_index("item_lease", "item", ["leased_by"])
    op.create_table(
        "question",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("item.id"), nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("given", sa.Text),
        sa.Column("suggested", sa.Text),
        sa.Column("kinds", sa.Text, nullable=False),
        sa.Column("sampled", sa.Boolean, nullable=False),
        sa.Column("severity", sa.Double, nullable=False),
        sa.Column("gain", sa.Double, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("opinions", sa.Integer, nullable=False),
        sa.UniqueConstraint("item_id", "task"),
    )
    op.create_index("question_queue", "question", ["state", "position"])
    op.create_index("question_tally", "question", ["state", "task", "kinds"])
    op.create_index("question_pair", "question", ["state", "task", "given", "suggested"])
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("question_id", sa.Integer, sa.ForeignKey("question.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("suggested", sa.Text),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_index("finding_question", "finding", ["question_id"])
    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("question_id", sa.Integer, sa.ForeignKey("question.id"), nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("classes", sa.JSON, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("undoes", sa.Integer, sa.ForeignKey("verdict.id"), unique=True),
        sa.Column("batch", sa.Text),
        sa.Column("token", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("verdict_question", "verdict", ["question_id", "reviewer"])
    op.create_index("verdict_reviewer", "verdict", ["reviewer", "id"])
    new_class = sa.text("action = 'new_class'")
    op.create_index("verdict_new_class", "verdict", ["question_id"], sqlite_where=new_class, postgresql_where=new_class)
    op.create_table(
        "event",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("csrf", sa.Text, nullable=False),
    )
    op.create_table("about", sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.JSON, nullable=False))
    op.execute(_VIEW)
    for statement in _triggers(op.get_bind().dialect.name):
        op.execute(statement)


def _triggers(dialect: str) -> list[str]:
    tables = ("verdict", "event")
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
            for table in tables
            for change in ("UPDATE", "DELETE")
        ]
    return [
        "CREATE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME; END $$",
        *(
            f"CREATE TRIGGER {table}_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION never_changed()"
            for table in tables
        ),
    ]
