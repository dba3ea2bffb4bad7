//! What every engine does. A test that is not named here does not run, and the compiler says that it is never used.

mod keys;
mod lists;
mod names;
mod retention;
mod reuse;
mod sights;
mod submits;

macro_rules! suite {
    ($($part:ident: $($test:ident)+;)+) => {
        suite! { @ memory Memory $($part: $($test)+;)+ }
        suite! { @ sqlite Sqlite $($part: $($test)+;)+ }
        suite! { @ sqlite_uncached SqliteUncached $($part: $($test)+;)+ }
        suite! { @ postgres Postgres $($part: $($test)+;)+ }
        suite! { @ postgres_uncached PostgresUncached $($part: $($test)+;)+ }
    };
    (@ $name:ident $engine:ident $($part:ident: $($test:ident)+;)+) => {
        mod $name {
            $(mod $part { $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    let house = crate::house::House::new(crate::house::Engine::$engine);
                    crate::suite::$part::$test(house).await;
                }
            )+ })+
        }
    };
}

suite! {
    submits:
        an_intent_can_be_found_before_it_is_sent_but_is_not_listed
        an_accepted_batch_was_created_when_its_platform_says
        a_client_of_the_platforms_dialect_is_shown_the_platforms_uuid
        ordinals_count_up_and_are_never_given_twice
        the_first_ordinal_may_be_nought
        the_last_ordinal_is_the_last
        only_a_live_lease_may_send
        an_accepted_submit_is_found_and_listed
        a_verdict_given_twice_changes_nothing
        an_accepted_submit_cannot_become_anything_else
        a_refused_submit_is_shown_to_nobody
        an_ambiguous_submit_may_still_end_any_way
        a_person_may_say_how_an_ambiguous_submit_ended_and_has_the_last_word
        an_open_intent_is_taken_over_when_its_lease_is_over
        an_open_intent_of_a_past_life_is_taken_over_at_once
        a_claim_takes_no_more_than_asked_and_the_oldest_first
        an_id_that_was_made_must_be_new
        one_job_cannot_have_two_rows
        a_job_seen_before_its_answer_keeps_all_its_ids
        what_the_backend_said_with_its_answer_is_kept
        a_spec_loses_its_secrets_and_nothing_else
        a_thousand_submits_at_once_are_all_there;
    keys:
        the_same_key_finds_the_first_submit
        a_name_means_the_batch_that_lives_under_it
        a_key_answers_what_was_answered_first
        a_failed_submit_leaves_its_key_free
        a_key_is_its_principals_and_its_dialects
        a_stored_batch_is_found_by_its_id_whatever_the_request
        another_principals_batch_id_is_refused
        a_refused_batch_leaves_its_id_to_the_retry
        a_key_is_looked_at_before_the_name;
    names:
        a_name_is_taken_while_its_batch_is_listed
        a_name_is_taken_by_an_open_intent_and_free_after_a_refusal
        a_name_is_free_where_the_dialect_does_not_list_it
        a_foreign_batch_holds_its_name
        of_sixty_submits_of_one_name_one_is_taken
        a_name_finds_the_newest_listed_batch;
    sights:
        an_unknown_batch_is_bound_only_where_asked
        a_foreign_batch_keeps_its_uuid_or_gets_one_that_everybody_makes
        the_same_id_on_two_backends_is_two_batches
        our_own_job_is_known_by_its_mark_whatever_its_id
        our_own_job_is_known_by_the_name_that_was_sent_in_place_of_one_that_was_taken
        our_own_job_is_not_bound_before_its_submit_is_settled
        a_submit_that_was_given_up_and_runs_is_taken_back
        a_native_uuid_finds_the_batch_as_well
        a_state_never_goes_backwards
        a_sight_that_says_nothing_new_changes_nothing
        unknown_is_left_when_the_batch_is_seen_again
        since_when_a_batch_is_missed_is_kept_until_it_is_seen
        a_new_attempt_starts_over
        times_are_kept_as_they_were_first_told
        a_late_sight_has_no_say_in_the_reason
        an_application_is_learned_bit_by_bit
        rows_come_back_in_the_order_given_without_those_that_are_gone
        only_accepted_batches_are_observed
        a_log_is_kept_and_replaced
        a_cancel_is_remembered_until_the_end_is_seen
        a_cancel_does_not_reach_a_later_attempt;
    reuse:
        an_integer_that_clients_hold_is_an_ordinal_here
        an_answer_shows_the_integer_unless_another_was_told
        an_integer_that_is_taken_stays_whose_it_is
        made_ordinals_pass_over_adopted_ones
        the_last_ordinal_may_be_adopted
        another_name_or_application_is_another_batch
        what_was_masked_is_no_other_application
        the_name_on_the_wire_is_the_one_that_counts
        unique_ids_are_one_batchs_whatever_it_is_called
        a_restart_takes_the_numbers_of_what_nothing_tells_apart
        an_answer_gets_the_number_of_a_batch_that_is_gone
        a_number_that_may_be_anothers_is_not_taken_from_it
        a_job_seen_before_its_answer_is_shown_by_its_integer
        a_name_may_find_what_is_not_ours
        a_row_gives_its_number_up_when_told
        a_uuid_that_is_taken_stands_in_nobodys_way;
    lists:
        a_scope_shows_its_backends_and_projects
        a_hidden_batch_is_there_for_other_dialects
        ended_batches_leave_lists_but_are_found_by_id
        a_total_falls_when_the_first_batch_is_too_old
        each_filter_means_what_it_says
        fields_of_one_dialect_are_asked_for
        programs_titles_users_and_ids_are_asked_for
        all_conditions_must_hold
        each_order_sorts_as_told
        a_window_cuts_and_the_total_stays;
    retention:
        rows_leave_with_their_ids_and_logs_after_their_time
        more_rows_than_shall_be_kept_leave_by_their_ends
        an_ordinal_is_not_given_again_after_its_row_is_gone
        a_dump_walks_all_rows
        a_new_ledger_is_in_good_health;
}
