-- Journal read-back: every journal line that a group became, and every row of it still in the interface.
--
-- Deploy as a BI Publisher data model on data source ApplicationDB_FSCM, with a CSV-only report on top, at the
-- catalog path named in the tenant configuration (fusion.readback_report). Parameters, both text:
--   P_GROUP_ID  required   the group id of the package
--   P_LEDGER_ID optional   blank = any ledger
-- Column names and their order are the contract with athena_fusion.fusion.reports; amounts come without trailing
-- zeros and with a point whatever the session's language; dates as YYYY-MM-DD.
--
-- The journal source must have "Import journal references" on: REFERENCE21 of the interface line is then
-- REFERENCE_1 of the journal line, which is how a line is recognised. REFERENCE22 arriving as REFERENCE_2 is
-- inferred and must be checked on the first pod.
SELECT 'BASE'                                                              AS ORIGIN,
       CAST(NULL AS VARCHAR2(1))                                           AS STATUS,
       CAST(NULL AS VARCHAR2(1))                                           AS STATUS_DESCRIPTION,
       line.reference_1                                                    AS LINE_KEY,
       TO_CHAR(batch.group_id)                                             AS GROUP_ID,
       CAST(NULL AS VARCHAR2(1))                                           AS LOAD_REQUEST_ID,
       TO_CHAR(header.ledger_id)                                           AS LEDGER_ID,
       TO_CHAR(line.effective_date, 'YYYY-MM-DD')                          AS ACCOUNTING_DATE,
       header.period_name                                                  AS PERIOD_NAME,
       source.user_je_source_name                                          AS JE_SOURCE,
       category.user_je_category_name                                      AS JE_CATEGORY,
       header.currency_code                                                AS CURRENCY_CODE,
       account.segment1                                                    AS SEGMENT1,
       account.segment2                                                    AS SEGMENT2,
       account.segment3                                                    AS SEGMENT3,
       account.segment4                                                    AS SEGMENT4,
       account.segment5                                                    AS SEGMENT5,
       account.segment6                                                    AS SEGMENT6,
       account.segment7                                                    AS SEGMENT7,
       account.segment8                                                    AS SEGMENT8,
       account.segment9                                                    AS SEGMENT9,
       account.segment10                                                   AS SEGMENT10,
       TO_CHAR(line.entered_dr, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')    AS ENTERED_DR,
       TO_CHAR(line.entered_cr, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')    AS ENTERED_CR,
       batch.name                                                          AS BATCH_NAME,
       batch.status                                                        AS BATCH_STATUS,
       header.name                                                         AS JOURNAL_NAME,
       line.reference_2                                                    AS REFERENCE_2
  FROM gl_je_batches batch
  JOIN gl_je_headers header          ON header.je_batch_id = batch.je_batch_id
  JOIN gl_je_lines line              ON line.je_header_id = header.je_header_id
  JOIN gl_code_combinations account  ON account.code_combination_id = line.code_combination_id
  LEFT JOIN gl_je_sources_vl source     ON source.je_source_name = header.je_source
  LEFT JOIN gl_je_categories_vl category ON category.je_category_name = header.je_category
 WHERE batch.group_id = TO_NUMBER(:P_GROUP_ID)
   AND (:P_LEDGER_ID IS NULL OR header.ledger_id = TO_NUMBER(:P_LEDGER_ID))
UNION ALL
SELECT 'INTERFACE',
       waiting.status,
       waiting.status_description,
       waiting.reference21,
       TO_CHAR(waiting.group_id),
       TO_CHAR(waiting.load_request_id),
       TO_CHAR(waiting.ledger_id),
       TO_CHAR(waiting.accounting_date, 'YYYY-MM-DD'),
       waiting.period_name,
       waiting.user_je_source_name,
       waiting.user_je_category_name,
       waiting.currency_code,
       waiting.segment1,
       waiting.segment2,
       waiting.segment3,
       waiting.segment4,
       waiting.segment5,
       waiting.segment6,
       waiting.segment7,
       waiting.segment8,
       waiting.segment9,
       waiting.segment10,
       TO_CHAR(waiting.entered_dr, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,'''),
       TO_CHAR(waiting.entered_cr, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,'''),
       CAST(NULL AS VARCHAR2(1)),
       CAST(NULL AS VARCHAR2(1)),
       waiting.reference4,
       waiting.reference22
  FROM gl_interface waiting
 WHERE waiting.group_id = TO_NUMBER(:P_GROUP_ID)
   -- A line loaded by ledger name has no id until the import derives it; it must not be missed.
   AND (:P_LEDGER_ID IS NULL OR waiting.ledger_id IS NULL OR waiting.ledger_id = TO_NUMBER(:P_LEDGER_ID))
