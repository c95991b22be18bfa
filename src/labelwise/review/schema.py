"""The tables of a review database.

They are made by the migrations in `migrations/`, which also make the view and refuse changes of verdicts; a test holds
the two equal. Times are seconds since 1970 (UTC).
"""

import sqlalchemy as sa

metadata = sa.MetaData()

item = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # the row number in the audited table
    sa.Column("key", sa.Text, nullable=False),  # what identifies the row for its owner
    sa.Column("search", sa.Text, nullable=False),  # what a text search looks through, in lower case
    sa.Column("labels", sa.JSON, nullable=False),  # the given label of each task, null where there is none
    sa.Column("leased_by", sa.Text),
    sa.Column("leased_until", sa.Double),
)
sa.Index("item_lease", item.c.leased_by)

question = sa.Table(
    "question",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("item_id", sa.Integer, sa.ForeignKey("item.id"), nullable=False),
    sa.Column("task", sa.Text, nullable=False),  # "" where it is about the example itself
    sa.Column("given", sa.Text),
    sa.Column("suggested", sa.Text),
    sa.Column("kinds", sa.Text, nullable=False),  # of its findings, in alphabetical order, with a space between
    sa.Column("sampled", sa.Boolean, nullable=False),  # drawn at random from what has no finding
    sa.Column("severity", sa.Double, nullable=False),
    sa.Column("gain", sa.Double, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # "open", "decided" or "conflict"; follows from the verdicts
    sa.Column("opinions", sa.Integer, nullable=False),  # people whose verdict counts; follows from the verdicts
    sa.UniqueConstraint("item_id", "task"),
)
sa.Index("question_queue", question.c.state, question.c.position)
sa.Index("question_tally", question.c.state, question.c.task, question.c.kinds)
sa.Index("question_pair", question.c.state, question.c.task, question.c.given, question.c.suggested)

finding = sa.Table(
    "finding",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("question_id", sa.Integer, sa.ForeignKey("question.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("suggested", sa.Text),
    sa.Column("why", sa.Text, nullable=False),
)
sa.Index("finding_question", finding.c.question_id)

verdict = sa.Table(
    "verdict",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("question_id", sa.Integer, sa.ForeignKey("question.id"), nullable=False),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("classes", sa.JSON, nullable=False),  # names of classes, sorted; also those that `keep` and `take` mean
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("final", sa.Boolean, nullable=False),
    sa.Column("undoes", sa.Integer, sa.ForeignKey("verdict.id"), unique=True),
    sa.Column("batch", sa.Text),  # the same for verdicts that were given, and are undone, together
    sa.Column("token", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("verdict_question", verdict.c.question_id, verdict.c.reviewer)
sa.Index("verdict_reviewer", verdict.c.reviewer, verdict.c.id)
sa.Index(
    "verdict_new_class",
    verdict.c.question_id,
    sqlite_where=verdict.c.action == "new_class",
    postgresql_where=verdict.c.action == "new_class",
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sqlite_autoincrement=True,
)

session = sa.Table(
    "session",
    metadata,
    sa.Column("token_hash", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("csrf", sa.Text, nullable=False),
)

about = sa.Table(
    "about",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)

# A view: of each question and reviewer the newest verdict that is neither undone nor an undo nor a skip.
current_verdict = sa.table("current_verdict", *(sa.column(column.name, column.type) for column in verdict.columns))


def stands(row: sa.FromClause = verdict) -> sa.ColumnElement[bool]:
    """Whether a verdict was not undone."""
    # A subquery that gives one value, not "NOT EXISTS": see the first migration.
    undoing = verdict.alias()
    return sa.select(undoing.c.id).where(undoing.c.undoes == row.c.id).scalar_subquery().is_(None)
