"""Pages of challenges, events and teams."""

from __future__ import annotations

from django.urls import path

from .views import events, instances, library, play, teams

EVENT = "events/<slug:slug>"
PLAY = f"{EVENT}/play/<slug:challenge>"
CHALLENGE = "challenges/<slug:slug>"
TEAM = "teams/<int:pk>"

app_name = "challenges"
urlpatterns = [
    path("events/", events.event_list, name="event_list"),
    path("events/new", events.event_create, name="event_create"),
    path(EVENT, events.event_detail, name="event_detail"),
    path(f"{EVENT}/edit", events.event_update, name="event_update"),
    *(path(f"{EVENT}/{verb}", events.event_move, {"verb": verb}, name=f"event_{verb}") for verb in events.MOVES),
    path(f"{EVENT}/end", events.event_end, name="event_end"),
    path(f"{EVENT}/cancel", events.event_cancel, name="event_cancel"),
    path(f"{EVENT}/reject", events.event_reject, name="event_reject"),
    path(f"{EVENT}/enter", events.event_enter, name="event_enter"),
    path(f"{EVENT}/withdraw", events.event_withdraw, name="event_withdraw"),
    path(f"{EVENT}/delete", events.event_delete, name="event_delete"),
    path(f"{EVENT}/administrator", events.event_administrator, name="event_administrator"),
    path(f"{EVENT}/announce", events.event_announce, name="event_announce"),
    *(
        path(f"{EVENT}/teams/<int:team>/{verb}", events.event_team, {"verb": verb}, name=f"event_team_{verb}")
        for verb in ("ban", "unban")
    ),
    path(f"{EVENT}/teams/<int:team>/award", events.event_award, name="event_award"),
    path(f"{EVENT}/password", events.event_password, name="event_password"),
    path(f"{EVENT}/challenges", events.entry_add, name="entry_add"),
    path(f"{EVENT}/challenges/<int:entry>/edit", events.entry_update, name="entry_update"),
    *(
        path(f"{EVENT}/challenges/<int:entry>/{verb}", events.entry_change, {"verb": verb}, name=f"entry_{verb}")
        for verb in ("show", "hide", "remove")
    ),
    path(f"{EVENT}/scoreboard", play.scoreboard, name="scoreboard"),
    path(f"{EVENT}/score", play.own_score, name="own_score"),
    path(f"{EVENT}/play", play.play_board, name="play_board"),
    path(PLAY, play.play_challenge, name="play_challenge"),
    path(f"{PLAY}/hints/<int:hint>", play.play_hint, name="play_hint"),
    path(f"{PLAY}/files/<uuid:file>", play.play_file, name="play_file"),
    path(f"{PLAY}/instance", instances.instance_panel, name="instance_panel"),
    path(f"{EVENT}/submissions", events.event_submissions, name="event_submissions"),
    path(f"{EVENT}/instances/deploy", instances.instance_deploy, name="instance_deploy"),
    path(f"{EVENT}/instances/deploys/<uuid:run>", instances.instance_deploy_run, name="instance_deploy_run"),
    path(f"{EVENT}/instances/kill", instances.instance_kill_all, name="instance_kill_all"),
    path("instances/", instances.instance_list, name="instance_list"),
    path("instances/kill", instances.instance_kill_all, name="instance_kill_everything"),
    path("instances/bulk", instances.instance_bulk, name="instance_bulk"),
    path("instances/addresses", instances.address_ledger, name="address_ledger"),
    path("instances/<uuid:pk>", instances.instance_detail, name="instance_detail"),
    path("instances/<uuid:pk>/log", instances.instance_log, name="instance_log"),
    path("teams/", teams.team_list, name="team_list"),
    path("teams/new", teams.team_create, name="team_create"),
    path("teams/join", teams.team_join, name="team_join"),
    path(TEAM, teams.team_detail, name="team_detail"),
    path(f"{TEAM}/edit", teams.team_update, name="team_update"),
    path(f"{TEAM}/code", teams.team_code, name="team_code"),
    path(f"{TEAM}/leave", teams.team_leave, name="team_leave"),
    path(f"{TEAM}/ban", teams.team_ban, name="team_ban"),
    path(f"{TEAM}/move", teams.team_move, name="team_move"),
    *(
        path(f"{TEAM}/members/<int:user>/{verb}", teams.team_member, {"verb": verb}, name=f"team_{verb}")
        for verb in teams.MEMBER_VERBS
    ),
    path("challenges/", library.challenge_list, name="challenge_list"),
    path("challenges/new", library.challenge_create, name="challenge_create"),
    path(CHALLENGE, library.challenge_detail, name="challenge_detail"),
    path(f"{CHALLENGE}/edit", library.challenge_update, name="challenge_update"),
    path(f"{CHALLENGE}/state", library.challenge_state, name="challenge_state"),
    path(f"{CHALLENGE}/test-copy", library.challenge_test, name="challenge_test"),
    path(f"{CHALLENGE}/powers", library.challenge_powers, name="challenge_powers"),
    path(f"{CHALLENGE}/delete", library.challenge_delete, name="challenge_delete"),
    path(f"{CHALLENGE}/files", library.file_add, name="file_add"),
    path(f"{CHALLENGE}/files/<uuid:file>/remove", library.file_remove, name="file_remove"),
    path("announcements/", teams.announcement_list, name="announcement_list"),
    path("announcements/new", teams.announcement_create, name="announcement_create"),
    path("announcements/news", teams.announcement_news, name="announcement_news"),
    path("announcements/<int:pk>/withdraw", teams.announcement_withdraw, name="announcement_withdraw"),
    path("announcements/<int:pk>/read", teams.announcement_read, name="announcement_read"),
]
