<?php
/*
 * Roundcube's IMAP class does what its pages do, and says as JSON what it got.
 *
 *     php roundcube.php 127.0.0.1 PORT USER PASSWORD     (Debian's roundcube-core)
 */
error_reporting(E_ALL & ~E_DEPRECATED);
define('RCUBE_CONFIG_DIR', __DIR__ . '/');
require '/usr/share/roundcube/program/lib/Roundcube/bootstrap.php';

[, $host, $port, $user, $password] = $argv;
$imap = new rcube_imap_generic();
$options = ['port' => (int) $port, 'ident' => ['name' => 'Roundcube'], 'timeout' => 20];
if (!$imap->connect($host, $user, $password, $options)) {
    fwrite(STDERR, $imap->error);
    exit(1);
}
$uids = fn ($index) => array_map('intval', $index->get());
$said = [];

// The folder list, with the number of unread messages beside each name. Not by LIST-STATUS:
// Roundcube 1.6's own reading of STATUS there fails with a TypeError, whatever the server says.
$said['mailboxes'] = $imap->listMailboxes('', '*', ['SUBSCRIBED', 'MYRIGHTS']);
foreach (array_keys($said['mailboxes']) as $mailbox) {
    $said['status'][$mailbox] = $imap->status($mailbox, ['UIDNEXT']);
}
$said['special'] = $imap->listMailboxes('', '*', null, ['SPECIAL-USE']);
$said['quota'] = $imap->getQuota('INBOX');

// The message list, by each column and in threads.
foreach (['DATE', 'ARRIVAL', 'SUBJECT', 'FROM', 'SIZE'] as $column) {
    $said['sort'][$column] = $uids($imap->sort('INBOX', $column, 'UNDELETED', true, 'UTF-8'));
}
foreach (['REFERENCES', 'ORDEREDSUBJECT'] as $way) {
    $said['threads'][$way] = $imap->thread('INBOX', $way, 'UNDELETED', true, 'UTF-8')->get_tree();
}
$said['sizes'] = array_map(
    fn ($header) => $header->size,
    $imap->fetchHeaders('INBOX', '1:*', true, true)
);

// A message is opened, marked and looked for.
$said['octets'] = md5($imap->handlePartBody('INBOX', 3, true));
[$first, $second, $subtype] = $imap->getStructure('INBOX', 3, true);
$said['parts'] = [$subtype, "$first[0]/$first[1]", "$second[0]/$second[1]"];
$said['flagged'] = $imap->flag('INBOX', '1,2', 'FLAGGED') && $imap->flag('INBOX', '2', 'SEEN');
$said['found'] = $uids($imap->search('INBOX', 'FLAGGED', true, ['COUNT', 'ALL', 'MIN', 'MAX']));
$said['unseen'] = $imap->search('INBOX', 'UNSEEN', false, ['COUNT'])->count();

// Messages are moved, copied, saved and deleted; a folder is made, renamed and removed.
$name = fn ($utf8) => rcube_charset::convert($utf8, 'UTF-8', 'UTF7-IMAP');
$said['create'] = $imap->createFolder($name('Ärger & Freude'))
    && $imap->subscribe($name('Ärger & Freude'))
    && $imap->renameFolder($name('Ärger & Freude'), $name('日本語'));
$said['move'] = $imap->move('3', 'INBOX', $name('日本語'));
$said['copy'] = $imap->copy('4', 'INBOX', 'Junk');
$draft = "Message-ID: <draft>\r\nSubject: a draft\r\n\r\nhello\r\n";
$said['append'] = (int) $imap->append('Drafts', $draft, ['DRAFT', 'SEEN']);
$said['delete'] = $imap->flag('INBOX', '5', 'DELETED') && $imap->expunge('INBOX', '5');
$imap->closeConnection();
echo json_encode($said);
