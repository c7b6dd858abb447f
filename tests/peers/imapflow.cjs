// A day of ImapFlow (Node), which enables IMAP4rev2 wherever it is announced.
//
//     node imapflow.cjs FOLDER PORT USER PASSWORD     FOLDER holds node_modules/imapflow
//
// Prints one JSON object: what it saw, and what it complained of.

const [folder, port, user, pass] = process.argv.slice(2);
const { ImapFlow } = require(`${folder}/node_modules/imapflow`);

const saw = { complaints: [], events: [], sent: [] };
const complain = (entry) => saw.complaints.push(String(entry.msg || entry.err || JSON.stringify(entry)));
const logger = {
    trace: () => {},
    debug: (entry) => entry.src === 'c' && saw.sent.push(entry.msg.replace(/^\S+ /, '').slice(0, 80)),
    info: () => {},
    warn: complain,
    error: complain,
};

const heard = (client, name) => new Promise((resolve) => client.once(name, resolve));

async function day(client) {
    await client.connect();
    saw.enabled = [...client.enabled].sort();
    await client.mailboxCreate('Entwürfe');
    await client.mailboxSubscribe('Entwürfe');
    const boxes = await client.list({ statusQuery: { messages: true, unseen: true, size: true, deleted: true } });
    saw.boxes = Object.fromEntries(boxes.map((box) => [box.path, [box.subscribed, box.specialUse || '', box.status.deleted]]));

    const lock = await client.getMailboxLock('INBOX');
    saw.opened = [client.mailbox.exists, [...client.mailbox.permanentFlags].includes('\\*')];
    for (const event of ['exists', 'expunge', 'flags']) {
        client.on(event, (data) => saw.events.push([event, data.count || data.seq || 0, data.uid || 0]));
    }
    await client.append('INBOX', 'Subject: hören\r\nFrom: a@example.org\r\n\r\nhello', ['\\Seen']);
    await client.append('INBOX', 'Subject: two\r\nFrom: a@example.org\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=', ['$Forwarded']);
    saw.unseen = await client.search({ seen: false }, { uid: true });
    saw.subject = await client.search({ subject: 'HÖREN' });
    saw.messages = [];
    for await (const message of client.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true })) {
        saw.messages.push([message.uid, [...message.flags], message.envelope.subject, message.bodyStructure.type]);
    }
    const { content } = await client.download('2', '1');
    saw.text = '';
    for await (const chunk of content) saw.text += chunk;
    await client.messageFlagsAdd('1', ['\\Flagged']);
    saw.copied = [...(await client.messageCopy('1', 'Entwürfe')).uidMap];
    saw.moved = [...(await client.messageMove('2', 'Trash')).uidMap];

    // Another device, which speaks IMAP4rev1, adds a message and flags one while this one idles.
    const news = Promise.all([heard(client, 'exists'), heard(client, 'flags')]);
    const idling = client.idle();
    process.stdout.write('idle\n');
    await news;
    await client.messageDelete('1');
    await idling;
    saw.left = await client.search({ all: true }, { uid: true });
    lock.release();

    await client.mailboxRename('Entwürfe', 'Alt/Entwürfe');
    saw.status = (await client.status('Alt/Entwürfe', { messages: true, uidNext: true })).messages;
    await client.mailboxDelete('Alt/Entwürfe');
    await client.logout();
}

const client = new ImapFlow({ host: '127.0.0.1', port: Number(port), secure: false, doSTARTTLS: false, auth: { user, pass }, logger, maxIdleTime: 60000 });
client.on('error', complain);
day(client)
    .catch((error) => saw.complaints.push(String(error.stack)))
    .finally(() => process.stdout.write(JSON.stringify(saw) + '\n', () => process.exit()));
