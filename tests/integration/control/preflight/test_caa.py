"""CAA over the tree, on real DNS."""

from __future__ import annotations

import pytest
from dns.rcode import Rcode
from scenes.preflight import CA, FACTS, HOST, NOW, OWN_TARGET, SECOND_CA, TARGET, V4, ZONE, codes, domain, of

from control.preflight.report import CaFacts
from embedded.dns import Fault

BRAND = f"brand.{ZONE}"


@pytest.fixture(autouse=True)
def here(scene):
    scene.dns.add(HOST, "A", V4)


async def caa(scene, *more, **arguments):
    report = await scene.examine(*more, **arguments)
    return of(report, "caa"), report.usable


async def test_without_records_every_ca_may_issue(scene):
    check, usable = await caa(scene)
    assert check.ok
    assert usable == [CA, SECOND_CA]
    assert check.found["cas"] == {CA: "no_records", SECOND_CA: "no_records"}


async def test_the_nearest_records_decide(scene):
    scene.dns.add(ZONE, "CAA", '0 issue ";"')
    scene.dns.add(BRAND, "CAA", '0 issue "second.test"')
    check, usable = await caa(scene)
    assert usable == [SECOND_CA]
    assert (check.code, check.ok, check.blocking) == ("caa_permits_some", False, False)
    assert check.found["sets"] == [{"owner": BRAND, "records": ['0 issue "second.test"']}]
    assert check.found["cas"] == {CA: "issuer_not_named", SECOND_CA: "granted"}
    scene.dns.add(HOST, "CAA", '0 issue "ca.test"')
    assert (await caa(scene))[1] == [CA]


async def test_when_no_ca_may_it_says_which_record_forbids_and_what_to_add(scene):
    scene.dns.add(BRAND, "CAA", '0 issue "digicert.example"')
    report = await scene.examine()
    assert report.usable == []
    finding = report.finding(NOW)
    assert (finding.code, finding.who) == ("caa_forbids", "tenant")
    assert finding.message == (
        f'The CAA records at {BRAND} do not name the platform\'s CA (but 0 issue "digicert.example"); '
        'add 0 issue "ca.test".'
    )
    assert finding.detail["expected"] == {"issuers": ["ca.test", "second.test"], "method": "http-01"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ('0 issue ";"', f'The CAA records at {HOST} let no CA issue (0 issue ";"); add 0 issue "ca.test".'),
        (
            '128 tbs "x"',
            f'The CAA records at {HOST} have a critical property that CAs do not know; remove 128 tbs "x".',
        ),
        (
            '0 issue "ca.test; validationmethods=dns-01"',
            f"The CAA records at {HOST} do not allow the validation by http-01 "
            '(0 issue "ca.test; validationmethods=dns-01"); add 0 issue "ca.test".',
        ),
        (
            '0 issue "ca.test; accounturi=https://ca.test/acct/2"',
            f"The CAA records at {HOST} name another account than the platform's "
            '(0 issue "ca.test; accounturi=https://ca.test/acct/2"); add 0 issue "ca.test".',
        ),
        (
            '0 issue "ca.test, second.test"',
            f"The CAA records at {HOST} cannot be understood, which forbids all CAs "
            '(0 issue "ca.test, second.test"); add 0 issue "ca.test".',
        ),
    ],
)
async def test_each_reason_has_its_words(scene, record, message):
    scene.dns.add(HOST, "CAA", record)
    check, usable = await caa(scene, facts=FACTS[:1])
    assert (check.code, check.message, usable) == ("caa_forbids", message, [])


async def test_the_account_and_the_method_may_be_named(scene):
    scene.dns.add(HOST, "CAA", '0 issue "ca.test; accounturi=https://ca.test/acct/1; validationmethods=http-01"')
    assert (await caa(scene))[1] == [CA]
    assert (await caa(scene, challenge="dns-01"))[1] == []


async def test_for_a_wildcard_issuewild_decides(scene):
    scene.dns.add(BRAND, "CAA", '0 issue "ca.test"')
    wildcard = domain(f"*.{BRAND}")
    assert (await caa(scene, domain=wildcard, challenge="dns-01"))[1] == [CA]
    scene.dns.add(BRAND, "CAA", '0 issuewild "other.test"')
    check, usable = await caa(scene, domain=wildcard, challenge="dns-01")
    assert usable == []
    assert check.message.endswith('add 0 issuewild "ca.test".')
    assert (await caa(scene))[1] == [CA]


async def test_records_where_a_cname_leads_decide_and_those_of_its_parents_do_not(scene):
    scene.dns.replace(HOST, "A")
    scene.dns.remove(HOST)
    scene.dns.add(HOST, "CNAME", OWN_TARGET + ".")
    scene.dns.add(TARGET, "CAA", '0 issue ";"')
    scene.dns.add(BRAND, "CAA", '0 issue "ca.test"')
    assert (await caa(scene))[1] == [CA]
    scene.dns.add(OWN_TARGET, "CAA", '0 issue "second.test"')
    assert (await caa(scene))[1] == [SECOND_CA]


async def test_name_servers_that_fail_on_caa_forbid(scene):
    scene.dns.fail(BRAND, Fault(rcode=Rcode.SERVFAIL), "CAA")
    report = await scene.examine()
    check = of(report, "caa")
    assert (check.code, check.blocking, check.who) == ("caa_unreadable", True, "tenant")
    assert BRAND in check.message
    assert report.usable == []
    # Records nearer than the failure have decided already.
    scene.dns.add(HOST, "CAA", '0 issue "ca.test"')
    assert (await scene.examine()).usable == [CA]


async def test_a_ca_that_does_not_name_itself_is_not_held_up_by_caa(scene):
    private = CaFacts("https://private.test/directory")
    scene.dns.add(HOST, "CAA", '0 issue ";"')
    assert (await caa(scene, facts=[*FACTS, private]))[1] == [private.directory_url]
    scene.dns.fail(HOST, Fault(rcode=Rcode.SERVFAIL), "CAA")
    assert (await caa(scene, facts=[*FACTS, private]))[1] == [private.directory_url]


async def test_resolvers_that_differ_mean_that_it_spreads_and_the_worst_decides(scene, second):
    second.add(HOST, "A", V4)
    scene.dns.add(HOST, "CAA", '0 issue ";"')
    check, usable = await caa(scene, second)
    assert (check.code, check.blocking, check.who, usable) == ("caa_propagating", True, "nobody", [])
    assert check.found["cas"] == {CA: "nobody_may", SECOND_CA: "nobody_may"}
    second.add(HOST, "CAA", '0 issue "ca.test"')
    scene.dns.replace(HOST, "CAA", '0 issue "ca.test"', '0 issue "second.test"')
    assert (await caa(scene, second))[1] == [CA]


async def test_a_resolver_that_cannot_tell_says_nothing_where_another_does(scene, second):
    second.add(HOST, "A", V4)
    second.fail(BRAND, Fault(rcode=Rcode.SERVFAIL), "CAA")
    report = await scene.examine(second)
    assert report.ok
    assert report.usable == [CA, SECOND_CA]


async def test_without_cas_nothing_is_usable(scene):
    report = await scene.examine(facts=())
    assert report.usable == []
    assert codes(report)["caa"] == "caa_permits"
