"""Logs people in as allauth does, and answers Django's own permission questions from the table of roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.auth_backends import AuthenticationBackend

from . import roles, session_store
from .permissions import can

if TYPE_CHECKING:
    from .models import User


class RoleBackend(AuthenticationBackend):
    """The only authentication backend.

    The user of a session comes with roles and regions in the same query. Model permissions are derived, not stored: a
    row in `auth_group_permissions` would be a second place that says what a role may do.
    """

    def get_user(self, user_id: Any) -> User | None:
        from .models import User

        user = session_store.take_owner(user_id) or User.objects.with_key(user_id)
        return user if user is not None and self.user_can_authenticate(user) else None

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        app_label, _, codename = perm.partition(".")
        action, _, model = codename.partition("_")
        return self._may(user_obj, action, f"{app_label}.{model}")

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        if _is_admin(user_obj):
            return True
        models = (model for model in roles.MODEL_NOUNS if model.startswith(f"{app_label}."))
        return any(self._may(user_obj, "view", model) for model in models)

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def _may(self, user: Any, action: str, model: str) -> bool:
        if _is_admin(user):
            return True
        noun = roles.MODEL_NOUNS.get(model)
        if noun is None:
            return False
        plain = f"{noun}.view" if action == "view" else f"{noun}.change"
        verb = roles.object_form(plain) or plain
        return verb in roles.VERBS and can(user, verb)


def _is_admin(user: Any) -> bool:
    return bool(user.is_authenticated and user.can_act and roles.ADMIN in user.access.roles)
