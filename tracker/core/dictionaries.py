"""The preset dictionaries that destinations are compressed with, by the number that stands in a token's flags.

Links live for years: a dictionary here is never changed or removed. A better one gets the next number.
"""

from __future__ import annotations

from typing import Final

DICTIONARIES: Final[dict[int, bytes]] = {
    # Trained by tests/bench/train_dictionary.py on 178 published mail templates, plus the names of the
    # campaign parameters that Google Analytics documents. What is most common stands last.
    1: (
        b"/here/golden/check/info/reset/earings/sign/chat/danger/data/github/help/live/manage/review/click/terms"
        b"/touch/comment/default/payment/order/close/download/home/online/password/this/different/mustachio"
        b"/settings/button/company/forward/privacy/returns/service/attachment/export/team/information/products"
        b"/share/trial/activecampai/billing/invoice/notification/statement/activate/customer/sendwithus/update"
        b"/your/version/discount/view/email/mailto/browser/restart/success/twitter/yoursitename/upgrade/facebook"
        b"/feedback/documentatio/catalogue/extension/http/name/https/unsubscribe/account/action/support/example"
        b"/product/contact/&utm_id=&utm_term=&utm_content=&utm_campaign=?utm_source=newsletter&utm_medium=email"
        b"&utm_campaign=&utm_content=.org/.net/.html?https://www.example.com/"
    ),
}
CURRENT: Final = 1
"""The dictionary that new links use."""
