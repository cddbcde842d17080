"""Labelling: consensus rules, queues with places, decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    with op.batch_alter_table("golden", schema=None) as batch_op:
        batch_op.add_column(sa.Column("consensus", sa.String(), nullable=False, server_default="majority"))

    op.create_table(
        "queue",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("golden", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("labelers_per_pair", sa.Integer(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("queue", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_queue_golden"), ["golden"], unique=False)

    op.create_table(
        "queue_item",
        sa.Column("queue_id", sa.String(), nullable=False),
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("queue_id", "pair_id"),
    )
    op.create_table(
        "queue_place",
        sa.Column("queue_id", sa.String(), nullable=False),
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("labeler", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("queue_id", "pair_id", "number"),
    )
    with op.batch_alter_table("queue_place", schema=None) as batch_op:
        batch_op.create_index("queue_place_by_labeler", ["queue_id", "labeler", "done_at"], unique=False)
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.create_index("label_in_order", ["golden", "id"], unique=False)

    op.create_table(
        "decision",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("golden", sa.String(), nullable=False),
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_decision_golden"), ["golden"], unique=False)


def downgrade():
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.drop_index("label_in_order")
    op.drop_table("decision")
    op.drop_table("queue_place")
    op.drop_table("queue_item")
    op.drop_table("queue")
    with op.batch_alter_table("golden", schema=None) as batch_op:
        batch_op.drop_column("consensus")
