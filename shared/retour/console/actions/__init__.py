"""Pages of actions: the list, one action's history, and acts on one or many."""

from retour.console.actions import act_form, action_list, bulk, detail, record

__all__ = ["act_form", "action_list", "bulk", "detail", "record"]
