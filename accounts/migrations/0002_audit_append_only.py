"""Refuse every change of an audit entry, in the database itself.

Two things are let through: a seal is put once on an entry that has none, and a transaction that declared itself retention
(`SET LOCAL hub.audit_retention = 'on'`) deletes.
"""

from django.db import migrations

GUARD = """
CREATE FUNCTION accounts_audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('hub.audit_retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.seal_id IS NULL
       AND to_jsonb(NEW) - 'seal_id' = to_jsonb(OLD) - 'seal_id' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit entries are append-only' USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER accounts_audit_guard BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION accounts_audit_guard();
"""
UNGUARD = """
DROP TRIGGER accounts_audit_guard ON accounts_auditentry;
DROP FUNCTION accounts_audit_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
