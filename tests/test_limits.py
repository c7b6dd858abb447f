"""Each cap of bridge/limits.py is reached by a test, and this is the table of them.

A cap without a row, a row without a cap, and a row whose test is not there fail.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from bridge import limits

TESTS = Path(__file__).parent
SERVER = "imap/test_server.py"
CAPS = "imap/test_caps.py"
PARSER = "mime/test_parser.py"
MAILDROP = "pop3/test_maildrop.py"

# Where it is reached: a test (file::name), or a dialogue with a line "@ limit NAME".
REACHED = {
    "IMAP_LINE_BEFORE_LOGIN": f"{CAPS}::test_one_over_the_cap",
    "IMAP_LINE": f"{CAPS}::test_one_over_the_cap",
    "IMAP_TAG": f"{CAPS}::test_one_over_the_cap",
    "IMAP_LITERAL_BEFORE_LOGIN": f"{CAPS}::test_one_over_the_cap",
    "IMAP_LITERAL": f"{CAPS}::test_one_over_the_cap",
    "IMAP_COMMAND_BEFORE_LOGIN": f"{CAPS}::test_one_over_the_cap",
    "IMAP_COMMAND": f"{CAPS}::test_one_over_the_cap",
    "IMAP_LITERALS_PER_COMMAND": f"{CAPS}::test_one_over_the_cap",
    "IMAP_PIPELINED_INPUT": f"{SERVER}::test_ten_thousand_pipelined_commands",
    "IMAP_APPEND": f"{CAPS}::test_one_over_the_cap",
    "IMAP_APPEND_MESSAGES": f"{CAPS}::test_one_over_the_cap",
    "IMAP_NESTING": f"{CAPS}::test_one_over_the_cap",
    "IMAP_NUMBER_RANGES": f"{CAPS}::test_one_over_the_cap",
    "IMAP_SECTION_DEPTH": f"{CAPS}::test_one_over_the_cap",
    "IMAP_HEADER_NAMES": f"{CAPS}::test_one_over_the_cap",
    "IMAP_FETCH_SECTIONS": f"{CAPS}::test_one_over_the_cap",
    "IMAP_NOTIFY_MAILBOXES": f"{CAPS}::test_one_over_the_cap",
    "IMAP_CONTEXTS": f"{CAPS}::test_searches_that_are_kept_up_to_date",
    "IMAP_SLOWEST": "imap/test_cases_sizes.py::test_a_message_that_drips_is_given_up",
    "IMAP_SLOWEST_SECONDS": "imap/test_cases_sizes.py::test_a_message_that_drips_is_given_up",
    "IMAP_PROGRESS_SECONDS": "transcripts/inprogress.txt",
    "IMAP_BAD_COMMANDS_BEFORE_LOGIN": f"{CAPS}::test_commands_that_make_no_sense",
    "IMAP_BAD_COMMANDS": f"{CAPS}::test_commands_that_make_no_sense",
    "IMAP_LOGIN_SECONDS": f"{SERVER}::test_who_does_not_sign_in_is_sent_away",
    "IMAP_AUTOLOGOUT_SECONDS": f"{SERVER}::test_silence_ends_a_session",
    "IMAP_WRITE_BUFFER": f"{SERVER}::test_a_slow_reader_of_a_large_message_costs_bounded_memory",
    "IMAP_WRITE_SECONDS": f"{SERVER}::test_a_reader_that_takes_nothing_is_dropped",
    "FETCH_READY": "imap/test_answers.py::test_the_longest_unused_goes_when_it_is_too_much",
    "FETCH_READY_ENTRY": "imap/test_answers.py::test_what_is_large_is_not_kept",
    "READ_AHEAD": "imap/test_ahead.py::test_the_oldest_goes",
    "READ_AHEAD_OCTETS": "imap/test_ahead.py::test_no_more_than_the_octets_of_a_visit",
    "READ_AHEAD_MESSAGES": "imap/test_ahead.py::test_message_by_message",
    "ORDERS": "imap/test_mailboxes.py::test_only_so_many_orders_are_kept",
    "RESTING_MAILBOXES": "imap/test_mailboxes.py::test_only_so_many_mailboxes_rest",
    "RESTING_OCTETS": "imap/test_mailboxes.py::test_only_so_much_memory_rests",
    "SEARCH_COLUMNS": "imap/test_columns.py::test_only_so_much_memory_is_used",
    "IMAP_PARSED": "imap/test_repeated.py::test_a_command_is_parsed_once_word_for_word",
    "IMAP_PARSED_LINE": "imap/test_repeated.py::test_a_command_is_parsed_once_word_for_word",
    "ROWS_LOGINS": "imap/test_rows.py::test_only_so_much_is_kept",
    "ROWS_PER_LOGIN": "imap/test_rows.py::test_only_so_much_is_kept",
    "IMAP_CONNECTIONS": f"{SERVER}::test_the_cap_of_connections_in_all",
    "IMAP_CONNECTIONS_KEPT": "imap/test_slots.py::test_the_last_tenth_is_for_who_signed_in_before",
    "IMAP_GIVE_WAY_SECONDS": "imap/test_slots.py::test_who_does_not_sign_in_gives_way",
    "IMAP_HANDSHAKE_SECONDS": "imap/test_cases_tls.py::test_half_a_handshake_is_given_up",
    "GUESSES_PER_ADDRESS": "auth/test_guesses.py::test_ten_thousand_from_one_address",
    "GUESSES_PER_LOGIN": "auth/test_guesses.py::test_a_thousand_addresses_at_one_login",
    "GUESS_SECONDS": "auth/test_guesses.py::test_a_guess_is_forgiven_after_a_while",
    "IMAP_CONNECTIONS_PER_ADDRESS": f"{SERVER}::test_the_cap_of_connections_from_one_address",
    "IMAP_CONNECTIONS_PER_LOGIN": f"{SERVER}::test_the_cap_of_sessions_of_one_login",
    "IMAP_FAILED_LOGIN_DELAY": f"{CAPS}::test_who_guesses_waits_and_nobody_else_does",
    "IMAP_FAILED_LOGIN_DELAY_MOST": (
        "auth/test_throttle.py::test_the_wait_doubles_up_to_its_cap_and_is_forgiven"
    ),
    "TRANSFER_MESSAGE": (
        "transfer/test_import.py::test_a_message_over_the_cap_is_left_and_its_neighbours_are_taken"
    ),
    "TRANSFER_IMAP_LINE": "transfer/test_push_faults.py::test_a_line_without_end",
    "TRANSFER_IMAP_SECONDS": "transfer/test_push_faults.py::test_a_server_that_owes_an_answer",
    "TRANSFER_CONNECT_SECONDS": (
        "transfer/test_push_faults.py::test_a_server_that_does_not_shake_hands"
    ),
    "PASSWORD": "auth/test_passwords.py::test_too_long_is_refused_unseen",
    "DEVICES_PER_LOGIN": "auth/test_devices.py::test_devices_are_capped",
    "DEVICE_NAME": "auth/test_devices.py::test_names",
    "MAILBOX_NAME": f"{CAPS}::test_one_over_the_cap",
    "MAILBOX_DEPTH": f"{CAPS}::test_one_over_the_cap",
    "MAILBOXES_PER_LOGIN": f"{CAPS}::test_what_one_login_may_hold_together",
    "METADATA_NAME": f"{CAPS}::test_one_over_the_cap",
    "METADATA_VALUE": f"{CAPS}::test_one_over_the_cap",
    "METADATA_ENTRIES": f"{CAPS}::test_one_over_the_cap",
    "METADATA_OCTETS": f"{CAPS}::test_what_one_login_may_hold_together",
    "KEYWORD_NAME": f"{CAPS}::test_one_over_the_cap",
    "KEYWORDS_PER_LOGIN": f"{CAPS}::test_what_one_login_may_hold_together",
    "MIME_DEPTH": f"{PARSER}::test_multiparts_nest_to_the_depth_limit",
    "MIME_PARTS": f"{PARSER}::test_parts_are_counted",
    "MIME_SEARCHED": f"{PARSER}::test_octets_are_searched_for_delimiters_to_the_limit",
    "MIME_HEADER_BLOCK": f"{PARSER}::test_a_header_block_is_read_to_its_limit",
    "MIME_HEADERS": f"{PARSER}::test_header_blocks_are_read_to_their_common_limit",
    "MIME_HEADER_FIELD": f"{PARSER}::test_a_field_is_read_to_its_limit",
    "MIME_ADDRESSES": f"{PARSER}::test_addresses_are_counted_over_all_fields_of_a_name",
    "MIME_ADDRESS_TOKENS": f"{PARSER}::test_tokens_of_an_address_list_are_counted",
    "MIME_PARAMETERS": f"{PARSER}::test_parameters_are_counted",
    "MIME_ENCODED_WORDS": f"{PARSER}::test_encoded_words_are_counted",
    "MIME_COMMENT_DEPTH": f"{PARSER}::test_comments_nest_to_their_limit",
    "MIME_REFERENCES": "mime/test_sortkeys.py::test_the_middle_of_too_many_references_goes",
    "POP3_LINE": "pop3/test_protocol.py::test_a_status_line_without_end_is_cut",
    "POP3_LISTING_ITEMS": "pop3/test_protocol.py::test_a_listing_without_end_is_cut",
    "POP3_UIDL": (
        "property/test_pop3.py::test_any_listing_gives_rising_numbers_sane_sizes_and_bounded_uidls"
    ),
    "POP3_CAPABILITIES": "pop3/test_login.py::test_endless_CAPA_ends_the_session",
    "POP3_MESSAGE": f"{MAILDROP}::test_a_body_without_end_is_cut_at_the_cap",
    "POP3_CONNECT_SECONDS": "pop3/test_login.py::test_connect_takes_its_time_and_no_more",
    "POP3_HANDSHAKE_SECONDS": "pcases/test_tls.py::test_P087_silence_after_STLS",
    "POP3_REPLY_SECONDS": "pop3/test_login.py::test_no_greeting_at_all",
    "POP3_SLOWEST": f"{MAILDROP}::test_a_body_that_drips_is_given_up",
    "POP3_SLOWEST_SECONDS": f"{MAILDROP}::test_a_body_that_drips_is_given_up",
    "POP3_END_MARK_SECONDS": (
        f"{MAILDROP}::test_an_end_mark_without_LF_is_accepted_after_a_short_wait"
    ),
    "POP3_TOP": f"{MAILDROP}::test_TOP_is_cut_at_its_cap_and_ends_at_that_of_a_message",
    "POP3_SESSION_SECONDS": ("pop3/test_login.py::test_a_session_has_an_end_however_much_is_said"),
    "POP3_FETCH_SECONDS": (
        "sync/test_backlog.py::test_a_first_sync_longer_than_a_session_goes_on_in_the_next"
    ),
    "POP3_WINDOW_COMMANDS": (
        f"{MAILDROP}::test_the_window_holds_so_many_commands_and_octets_and_no_more"
    ),
    "POP3_WINDOW_OCTETS": (
        f"{MAILDROP}::test_the_window_holds_so_many_commands_and_octets_and_no_more"
    ),
    "SCRAM_ITERATIONS": "auth/test_sasl.py::test_the_most_iterations",
    "DELETES_PER_POLL": "pcases/test_dele.py::test_P064_a_clock_that_jumps_ten_years",
    "DELETE_READ_BACK": "sync/test_retention.py::test_only_so_many_octets_a_poll_are_read_back",
    "SCAN_APART": "sync/test_scanning.py::test_so_many_are_scanned_apart_and_no_fewer",
    "SCAN_SECONDS": "sync/test_scanning.py::test_a_helper_that_is_gone_costs_no_message",
    "NAMELESS_OCTETS": "pcases/test_uidl.py::test_P015_a_server_without_UIDL",
    "DISK_RESERVE": "pcases/test_retr.py::test_P056_a_body_without_end",
    "OAUTH_ANSWER": "auth/test_oauth.py::test_what_an_answer_means",
    "OAUTH_TOKEN": "auth/test_oauth.py::test_the_longest_token",
    "OAUTH_SECONDS": "auth/test_oauth.py::test_a_provider_that_is_not_there_or_silent",
    "OAUTH_LOGIN_SECONDS": "auth/test_oauth.py::test_a_person_has_half_an_hour_at_most",
    "OAUTH_REDIRECT": "auth/test_oauth.py::test_a_request_to_the_redirect_without_end",
    "CHUNK": "store/test_messages.py::test_any_slice_across_chunks",
    "TEXT_INDEXED": "test_indexing.py::test_too_much_text_is_looked_into_every_time",
    "TOMBSTONES": (
        "store/test_entries.py::test_forgotten_tombstones_are_told_as_all_that_is_not_there"
    ),
    "SPOOL_IN_MEMORY": "test_spool.py::test_out_comes_what_went_in",
    "BATCH_MESSAGES": "sync/test_batches.py::test_a_batch_has_so_many_messages",
    "BATCH_OCTETS": "sync/test_batches.py::test_a_batch_has_so_many_octets",
    "BATCH_SECONDS": "sync/test_batches.py::test_a_batch_that_does_not_fill_is_handed_over",
    "ADDRESS": "discovery/test_address.py::test_lengths_are_capped_before_anything_is_encoded",
    "HOST_NAME": "discovery/test_address.py::test_lengths_are_capped_before_anything_is_encoded",
    "DISCOVERY_ANSWER": "discovery/test_documents.py::test_the_longest_document",
    "DISCOVERY_SECONDS": "discovery/test_find.py::test_silence_has_an_end",
    "CONFIG_FILE": "test_config.py::test_size_is_capped",
    "CONFIG_DEPTH": "test_config.py::test_depth_is_capped",
    "CONFIG_VALUES": "test_config.py::test_a_file_of_a_billion_laughs_is_refused",
    "SECRET_COMMAND_SECONDS": "auth/test_secrets.py::test_a_command_that_does_not_end",
    "WEB_CONNECTIONS": "web/test_server.py::test_more_connections_than_that_are_refused",
    "AUTODISCOVER_REQUEST": "profiles/test_xml.py::test_what_is_no_request",
    "PHONE_SECONDS": "web/test_phone.py::test_it_ends_by_itself",
    "PHONE_CODES": "web/test_phone.py::test_codes_are_capped",
    "PHONE_WRONG_CODES": "web/test_phone.py::test_guessing_ends_it",
    "MESSENGER_SECONDS": "test_messenger.py::test_a_server_that_does_not_answer",
    "WEB_BODY": "web/test_hostile.py::test_W006_a_long_header_and_a_long_body",
    "WEB_REQUEST_SECONDS": (
        "web/test_hostile.py::test_W006_a_request_that_does_not_come_is_not_waited_for"
    ),
    "WEB_ACTION_SECONDS": "web/test_hostile.py::test_an_action_that_takes_too_long",
    "WEB_SESSIONS": "web/test_hostile.py::test_sessions_are_capped",
    "WEB_SESSION_SECONDS": "web/test_hostile.py::test_a_session_ends",
    "EVENTS": "test_events.py::test_the_last_ones_are_kept",
    "WEB_HEADER": "web/test_server.py::test_a_header_without_end_is_cut",
}


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the test functions of a file, those in classes too."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    )


def test_every_cap_has_its_test() -> None:
    assert {name for name in vars(limits) if name.isupper()} == set(REACHED)


@pytest.mark.parametrize("name", REACHED)
def test_the_test_is_there(name: str) -> None:
    file, _, test = REACHED[name].partition("::")
    if test:
        assert test in names_in(file)
    else:
        lines = (TESTS / file).read_text("utf-8").splitlines()
        assert any(line.startswith(f"@ limit {name} ") for line in lines)
